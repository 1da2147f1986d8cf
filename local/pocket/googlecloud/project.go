package googlecloud

import (
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
)

// project is what a project has lost. A project without a document has everything.
type project struct {
	Disabled  []string `json:"disabled,omitempty"` // APIs, by host
	NoBilling bool     `json:"noBilling,omitempty"`
}

// projectNumber is the number of a project: twelve digits that follow from its id.
func projectNumber(id string) string {
	h := fnv.New64a()
	h.Write([]byte(id)) // never fails
	return strconv.FormatUint(100_000_000_000+h.Sum64()%900_000_000_000, 10)
}

// checkProjects refuses calls to an API that is off, or unpaid, in the project that holds the
// resource or in the project that holds the caller.
func (c *Cloud) checkProjects(req *request) error {
	ids := []string{req.project()}
	if req.caller.Project != "" && req.caller.Project != ids[0] {
		ids = append(ids, req.caller.Project)
	}
	for _, id := range ids {
		var p project
		if _, err := c.docs.Get(kindProject, id, &p); err != nil {
			return err
		}
		if slices.Contains(p.Disabled, req.Host) {
			return serviceDisabled(req.Host, id)
		}
		if p.NoBilling {
			return billingDisabled(req.Host, id)
		}
	}
	return nil
}

func serviceDisabled(host, id string) *status {
	number := projectNumber(id)
	url := "https://console.developers.google.com/apis/api/" + host + "/overview?project=" + number
	return failure(http.StatusForbidden, "PERMISSION_DENIED",
		"Cloud Key Management Service (KMS) API has not been used in project "+number+" before or it is disabled. Enable it by visiting "+url+
			" then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
		info("SERVICE_DISABLED", "googleapis.com", map[string]string{"service": host, "consumer": "projects/" + number, "activationUrl": url}))
}

func billingDisabled(host, id string) *status {
	number := projectNumber(id)
	return failure(http.StatusForbidden, "PERMISSION_DENIED",
		"This API method requires billing to be enabled. Please enable billing on project #"+number+
			" by visiting https://console.developers.google.com/billing/enable?project="+number+" then retry.",
		info("BILLING_DISABLED", "googleapis.com", map[string]string{"service": host, "consumer": "projects/" + number}))
}

// changeProject changes a project's document.
func (c *Cloud) changeProject(id string, change func(*project)) error {
	var p project
	if _, err := c.docs.Get(kindProject, id, &p); err != nil {
		return err
	}
	change(&p)
	return c.docs.Put(kindProject, id, p)
}

// done is a finished long-running operation.
type done struct {
	Name string `json:"name"`
	Done bool   `json:"done"`
}

func (c *Cloud) enableService(req *request) (any, error) {
	host := req.vars[1]
	err := c.changeProject(req.vars[0], func(p *project) {
		p.Disabled = slices.DeleteFunc(p.Disabled, func(s string) bool { return s == host })
	})
	return done{Name: "operations/noop.DONE_OPERATION", Done: true}, err
}

func (c *Cloud) disableService(req *request) (any, error) {
	host := req.vars[1]
	err := c.changeProject(req.vars[0], func(p *project) {
		if !slices.Contains(p.Disabled, host) {
			p.Disabled = append(p.Disabled, host)
		}
	})
	return done{Name: "operations/noop.DONE_OPERATION", Done: true}, err
}

// updateBilling links a billing account with a project, or none, which stops paid APIs.
func (c *Cloud) updateBilling(req *request) (any, error) {
	var in struct {
		Account string `json:"billingAccountName"`
	}
	if err := readJSON(req, &in); err != nil {
		return nil, err
	}
	id := req.vars[0]
	err := c.changeProject(id, func(p *project) { p.NoBilling = in.Account == "" })
	return map[string]any{
		"name": "projects/" + id + "/billingInfo", "projectId": id,
		"billingAccountName": in.Account, "billingEnabled": in.Account != "",
	}, err
}
