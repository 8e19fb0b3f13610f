"""The page on which a running lab is watched: its graph, its traces, its rules, and buttons for the scenarios."""
