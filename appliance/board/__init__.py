"""The board the appliance runs on: its lamps, button and sensors, and the service manager it answers to."""
