"""The parts of the simulator: true parameters, visit schedules, scores, relapse onsets, population truth."""
