"""The claim of each pruning paper beside its control, at a scale of minutes.

``papers`` lists claims and arms, ``measuring`` runs an arm, ``ap_rounds`` follows AP over its rounds, ``tables`` writes
Markdown.
"""
