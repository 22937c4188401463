"""Files that somebody else made: read and checked before anything is built of them."""
