//go:build race

package sim_test

// few seeds are enough for the race detector, under which everything takes ten times as long.
const few = 2

// Under the race detector steps take so long that the runtime switches between goroutines in the middle of one, and who
// draws which random bytes is not the seed's choice any more.
const equalHistories = false
