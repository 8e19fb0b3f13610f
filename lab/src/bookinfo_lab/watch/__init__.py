"""The watch page of a running lab: its service graph, its traces, its objects, and buttons for the scenarios."""
