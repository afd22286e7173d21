"""Discovery: one half of the images proposes what fails, the other half judges it."""
