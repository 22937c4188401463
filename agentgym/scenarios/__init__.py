"""What a user writes: scenarios, their cases and checks, and what a check may ask."""
