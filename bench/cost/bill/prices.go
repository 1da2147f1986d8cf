// Package bill computes what the suite costs a month, from what was counted and from list prices.
//
// Its invariant: it is pure. Counts come from bench/cost/measure, prices from prices.json, which names the
// page and the day of each; what is neither counted nor priced is a field of Assumed.
package bill

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

//go:embed prices.json
var list []byte

// ID names a price.
type ID string

// The prices that the model needs.
const (
	LambdaRequest   ID = "lambda-request"
	LambdaGBSecond  ID = "lambda-gb-second"
	APIGatewayREST  ID = "api-gateway-rest"
	DynamoRead      ID = "dynamodb-read"
	DynamoWrite     ID = "dynamodb-write"
	DynamoStorage   ID = "dynamodb-storage"
	DynamoRecovery  ID = "dynamodb-recovery"
	DynamoStream    ID = "dynamodb-stream"
	Transition      ID = "step-functions-transition"
	Express         ID = "step-functions-express"
	ExpressGBSecond ID = "step-functions-express-gb-second"
	Scheduler       ID = "scheduler"
	KMSKey          ID = "kms-key"
	KMSRequest      ID = "kms-request"
	LogIngestion    ID = "log-ingestion"
	LogStorage      ID = "log-storage"
	CustomMetric    ID = "custom-metric"
	Alarm           ID = "alarm"
	TransferOut     ID = "transfer-out"
	NATHour         ID = "nat-hour"
	NATData         ID = "nat-data"
)

// IDs are all of them.
func IDs() []ID {
	return []ID{
		LambdaRequest, LambdaGBSecond, APIGatewayREST, DynamoRead, DynamoWrite, DynamoStorage, DynamoRecovery, DynamoStream, Transition, Express,
		ExpressGBSecond, Scheduler, KMSKey, KMSRequest, LogIngestion, LogStorage, CustomMetric, Alarm, TransferOut, NATHour, NATData,
	}
}

// Price is a list price: so many dollars per so many units.
type Price struct {
	ID   ID      `json:"id"`
	USD  float64 `json:"usd"`
	Per  float64 `json:"per"`
	Unit string  `json:"unit"`
	Page string  `json:"page"`
	// Doubt says why the figure could not be confirmed; "" where it was.
	Doubt string `json:"doubt,omitempty"`
}

// Prices is a list of prices of one region on one day.
type Prices struct {
	Region string  `json:"region"`
	Date   string  `json:"date"`
	Note   string  `json:"note"`
	Prices []Price `json:"prices"`

	by map[ID]Price
}

// Load reads the list of prices that is kept here.
func Load() (Prices, error) { return Parse(list) }

// Parse reads a list of prices, which must be complete.
func Parse(text []byte) (Prices, error) {
	p := Prices{by: map[ID]Price{}}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("prices: %w", err)
	}
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil || p.Region == "" {
		return p, errors.New("prices: a list has a region and a date")
	}
	for _, price := range p.Prices {
		if price.Per <= 0 || price.USD < 0 || price.Unit == "" || price.Page == "" {
			return p, fmt.Errorf("prices: %s has no unit, no page or no amount", price.ID)
		}
		if _, twice := p.by[price.ID]; twice {
			return p, fmt.Errorf("prices: %s is there twice", price.ID)
		}
		p.by[price.ID] = price
	}
	for _, id := range IDs() {
		if _, ok := p.by[id]; !ok {
			return p, fmt.Errorf("prices: %s is missing", id)
		}
	}
	return p, nil
}

// Line is one item of a bill.
type Line struct {
	Name     string
	Quantity float64
	Unit     string
	USD      float64
}

// line is so much of something at its price.
func (p Prices) line(name string, id ID, quantity float64) Line {
	price := p.by[id]
	return Line{Name: name, Quantity: quantity, Unit: price.Unit, USD: quantity / price.Per * price.USD}
}

// Bill is what something costs a month.
type Bill []Line

// Total is the sum of all lines.
func (b Bill) Total() float64 {
	var sum float64
	for _, l := range b {
		sum += l.USD
	}
	return sum
}
