package keyring

// Cache is a cache of numbers.
type Cache struct{ cache[int] }

// NewCache returns a cache for a number of entries.
func NewCache(max int) *Cache { return &Cache{cache[int]{max: max}} }

// Find returns what was made from a part, or makes it.
func (c *Cache) Find(renew bool, create func() (int, error), part string) (int, error) {
	return c.find(renew, create, part)
}

// Len is how many entries there are.
func (c *Cache) Len() int { return len(c.entries) }

// Kept are how many credentials are kept for AWS, and how many there may be for Azure.
func (k *Keyring) Kept() (aws, azure int) { return len(k.aws.entries), k.azure.max }
