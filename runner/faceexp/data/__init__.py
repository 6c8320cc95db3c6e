"""From files to arrays and parts: images, the faces in them, lists of pairs, and who is trained and tested on."""
