package runtimeapi

// Busy is how many processes are serving or starting.
func (f *Function) Busy() int { return len(f.slots) }
