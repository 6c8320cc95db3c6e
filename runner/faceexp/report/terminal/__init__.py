"""What people see in a terminal, as parts that Rich can draw; nothing here prints."""
