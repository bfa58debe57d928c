"""The shadow audit: is a person who was forgotten told from one who was never there, model by model and person by person?"""
