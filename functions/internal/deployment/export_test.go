package deployment

// CollectLate is what Run does first.
var CollectLate = collectLate
