module dls/packaging/stand

go 1.26.0

require dls v0.0.0

require (
	github.com/duosecurity/duo_api_golang v0.0.0-20250430191550-ac36954387e7 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace dls => ../..
