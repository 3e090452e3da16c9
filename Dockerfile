# syntax=docker/dockerfile:1
FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /svod ./cmd/svod

FROM alpine:3.22
RUN apk add --no-cache ca-certificates tzdata && adduser -D -u 10001 svod && mkdir /data && chown svod /data
COPY --from=build /svod /usr/local/bin/svod
USER svod
WORKDIR /data
EXPOSE 8080
# The configuration is mounted; the data folder keeps the key and, with SQLite,
# the database.
ENTRYPOINT ["svod"]
CMD ["serve", "--config", "/etc/svod/svod.yaml"]
