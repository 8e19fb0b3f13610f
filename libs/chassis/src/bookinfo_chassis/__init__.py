"""What every Bookinfo service shares. Each module stands alone; a service can be read without opening any of them."""
