"""What a run leaves: its records, the files they are written to, and the measuring and comparing that fill them."""
