"""Results as people read them: tables, a live display, a page; everything here is returned, nothing printed."""
