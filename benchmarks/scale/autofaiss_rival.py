def line(*a):
    return ""
