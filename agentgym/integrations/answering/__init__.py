"""What model servers answer: read where it arrives, whoever asked."""
