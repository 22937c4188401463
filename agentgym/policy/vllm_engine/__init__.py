"""Another token engine: a vLLM server samples, the user's own or one started here."""
