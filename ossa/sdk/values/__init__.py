"""What comes back from the fleet: frozen values that leave a newer server's extra fields aside."""
