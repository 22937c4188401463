"""Keys and values of what was computed: where they are, who shares them."""
