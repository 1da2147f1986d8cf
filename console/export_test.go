package console

// The tables, for tests that hold each line to what all lines promise.
var (
	Pages     = pages
	Fragments = fragments
	Actions   = actions
)

// Defines reports whether a template file defines a block.
func (c *Console) Defines(template, block string) bool {
	if _, err := templateFiles.Open("templates/" + template + ".html"); err != nil {
		return false
	}
	return c.views.template("", template).Lookup(block) != nil
}

// Add puts a page and an action into the tables of a console.
func (c *Console) Add(p Page, a Action) {
	c.pages = append(c.pages, p)
	c.mux.HandleFunc("GET "+p.Path, c.page(p))
	c.mux.HandleFunc("POST "+a.Path, c.action(a))
}
