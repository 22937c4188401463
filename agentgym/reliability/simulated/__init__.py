"""How often gates are right, tried on runs that chance makes."""
