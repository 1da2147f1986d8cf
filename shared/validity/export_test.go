package validity

// Remembered is how many verdicts are kept to be shared.
func (c *Checker) Remembered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.recent)
}
