"""Episodes as OpenTelemetry spans; imported only where they are exported."""
