"""What holds where the command line says nothing: from the environment, the project's file, the user's file."""
