"""The variants whose generator is told the class."""
