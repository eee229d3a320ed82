"""The job process: claims what is ready, runs errands, delivers news, keeps time, stops in good order."""
