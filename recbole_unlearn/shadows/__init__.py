"""The shadow audit: can an attacker distinguish worlds where a person was forgotten from worlds without her?"""
