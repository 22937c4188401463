"""Models and adapters on the disk, looked at without importing torch."""
