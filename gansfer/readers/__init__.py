"""Files as people have them: images, label maps and tables become subjects and volumes."""
