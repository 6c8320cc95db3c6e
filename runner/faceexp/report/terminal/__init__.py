"""What people see in a terminal, as Rich renderables; nothing here prints."""
