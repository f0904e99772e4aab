"""Where the parts are chosen and joined: the command line, the settings, the embedded infrastructure."""
