"""From records to what people see: tables, sentences and a page. Nothing here prints."""
