"""From records to what people see: tables, sentences, a page. Nothing here prints."""
