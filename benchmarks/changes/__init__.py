"""Planted changes from one model to another: what got worse, is it called so, and is anything else?"""
