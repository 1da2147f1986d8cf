package console

// pages is the table of all pages. A page is added by a line here, a file of handlers and a template.
func pages() []Page {
	return []Page{
		{Path: groupsPath, Title: "Projects", Template: "projects", Load: loadProjects},
		{Path: root + "/orgs", Title: "Organisations", Template: "orgs", Load: loadOrgs},
		{Path: groupsPath + "/{groupId}", Title: "Overview", Nav: Overview, Template: "overview", Load: loadOverview},
	}
}

// fragments are the parts of pages that are read again.
func fragments() []Fragment {
	return []Fragment{
		{Path: groupsPath + "/{groupId}/overview/state", Template: "overview", Block: "state", Load: loadOverview},
	}
}

// actions are what forms do.
func actions() []Action {
	return []Action{}
}
