"""What other projects bring, and how it fares beside the add-on."""
