package gateway

// Matches lets tests compare wildcards with what they mean.
var Matches = matches
