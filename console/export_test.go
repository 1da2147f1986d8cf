package console

// Add puts a page and an action into the tables of a console.
func (c *Console) Add(p Page, a Action) {
	c.pages = append(c.pages, p)
	c.mux.HandleFunc("GET "+p.Path, c.page(p))
	c.mux.HandleFunc("POST "+a.Path, c.action(a))
}
