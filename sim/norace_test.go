//go:build !race

package sim_test

// few seeds are looked at with every change; "make sim" looks at more.
const few = 200

const equalHistories = true
