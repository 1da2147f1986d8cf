package atlas

// Link is one entry of a links array.
type Link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

// Page is the list envelope (CONTRACT 1.4). TotalCount is nil only when includeCount=false:
// the Terraform provider reads it without a check.
type Page[T any] struct {
	Links      []Link `json:"links"`
	Results    []T    `json:"results"`
	TotalCount *int   `json:"totalCount,omitempty"`
}
