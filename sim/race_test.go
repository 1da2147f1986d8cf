//go:build race

package sim_test

// few seeds are enough for the race detector, under which everything takes ten times as long.
const few = 2
