"""Code that every Bookinfo service shares. Each module can be read without the others."""
