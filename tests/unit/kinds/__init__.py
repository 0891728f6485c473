"""What crosses between tenant and super cluster, kind by kind."""
