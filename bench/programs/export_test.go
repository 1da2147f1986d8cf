package programs

// RequestsOfProject is how many requests one project is asked at most.
const RequestsOfProject = 1 + turnsOfProject*batches*batch
