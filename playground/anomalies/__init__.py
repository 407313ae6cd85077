"""What does not belong: pictures spoiled on purpose, and how strange each family of models finds them."""
