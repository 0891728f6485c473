"""The local system while its parts are killed."""
