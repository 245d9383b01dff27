"""What the documentation's site shows beside ``docs``: pages made of the code, the documents at the root."""
